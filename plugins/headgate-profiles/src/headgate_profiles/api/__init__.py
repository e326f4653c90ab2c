"""The Profile API: profiles for other servers, in the form that Segment's clients know.

`config` is the table ``[profile-api]`` with its tokens. `reading` reads profiles outside the event
loop. `answers` makes answers of profiles, and `area` has the paths.
"""
