"""Personal data: finds, refuses, lists and erases it.

`detectors` find it in texts, `suppression` refuses the events of users, `inventory` lists what the
queue holds, `erasure` erases users from this gateway, `regulations` carry a request to all places.
"""
