"""The AGI conversation with Asterisk, and one small module for each hook of the dialplan."""
