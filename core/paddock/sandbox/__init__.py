"""Sandboxes: sessions that cannot touch each other, the server or the machine.

`paddock.sandbox.levels` finds out what this machine can give, `paddock.sandbox.sandboxes` makes
sandboxes of that level, and `paddock.sandbox.files` is how the server touches what is in one.
Nothing is imported here: the zygote is to stay small.
"""
