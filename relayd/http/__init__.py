"""HTTP/1.1 without I/O: bytes in, requests out; answers in, bytes out. Only `http1` knows h11."""
