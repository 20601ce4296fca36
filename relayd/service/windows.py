"""The task of the Windows Task Scheduler, as its XML. Pure.

The scheduler starts relayd when its user logs on, in that user's session, and starts it again when it fails. It runs
without a console window, which somebody would close, and so without standard error: the log is a file. The elements stand in
the order that the scheduler's schema asks for.
"""

from __future__ import annotations

import ntpath
import subprocess
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from relayd.service.spec import DESCRIPTION, Spec

TASK = "relayd"
NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
DECLARATION = '<?xml version="1.0" encoding="UTF-16"?>\n'
Content = Mapping[str, "str | Content"]  # elements by name: a text, or elements within


def task(spec: Spec) -> str:
    """The text of the task."""
    root = Element("Task", {"version": "1.2", "xmlns": NAMESPACE})
    _fill(root, {"RegistrationInfo": {"Description": DESCRIPTION}})
    _fill(root, {"Triggers": {"LogonTrigger": {"Enabled": "true", "UserId": spec.user}}})
    principal = SubElement(SubElement(root, "Principals"), "Principal", {"id": "Author"})
    _fill(principal, {"UserId": spec.user, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"})
    _fill(root, {"Settings": SETTINGS})
    actions = SubElement(root, "Actions", {"Context": "Author"})
    program, *arguments = _without_window(spec)
    _fill(actions, {"Exec": {"Command": program, "Arguments": subprocess.list2cmdline(arguments)}})
    ElementTree.indent(root)
    return DECLARATION + ElementTree.tostring(root, encoding="unicode") + "\n"


def _without_window(spec: Spec) -> tuple[str, ...]:
    """The same Python as a program that has no console."""
    program, *arguments = spec.command
    if ntpath.basename(program).lower() == "python.exe":
        program = ntpath.join(ntpath.dirname(program), "pythonw.exe")
    return program, *arguments, "--log-file", spec.log


def _fill(parent: Element, content: Content) -> None:
    for name, value in content.items():
        element = SubElement(parent, name)
        if isinstance(value, str):
            element.text = value
        else:
            _fill(element, value)


SETTINGS: Content = {
    "MultipleInstancesPolicy": "IgnoreNew",
    "DisallowStartIfOnBatteries": "false",
    "StopIfGoingOnBatteries": "false",
    "ExecutionTimeLimit": "PT0S",  # none
    "RestartOnFailure": {"Interval": "PT1M", "Count": "10"},
}
