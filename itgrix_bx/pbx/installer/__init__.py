"""Putting the hooks into a phone system's dialplan, and taking them away again without a trace."""
