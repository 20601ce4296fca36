"""The task of the Windows Task Scheduler, as its XML. Pure.

Started at the user's logon, in his session, restarted when it fails. The elements stand in the order
that the scheduler's schema asks for.
"""

from __future__ import annotations

import subprocess
from xml.sax.saxutils import escape

from relayd.service.spec import DESCRIPTION, Spec

TASK = "relayd"
NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"

XML = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="{namespace}">
  <RegistrationInfo>
    <Description>{description}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>{user}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{command}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def task(spec: Spec) -> str:
    """The text of the task."""
    return XML.format(
        namespace=NAMESPACE,
        description=escape(DESCRIPTION),
        user=escape(spec.user),
        command=escape(spec.command[0]),
        arguments=escape(subprocess.list2cmdline(spec.command[1:])),
    )
