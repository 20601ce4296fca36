"""The Messages API that clients see: requests and their checks, answers as JSON and as events."""
