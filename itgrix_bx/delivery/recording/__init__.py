"""A call's recording: from the names Asterisk gave it to one file the portal takes."""
