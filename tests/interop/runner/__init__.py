"""Runs clients of several languages against a real gateway. See ../README.md."""
