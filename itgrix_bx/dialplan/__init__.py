"""The dialplan files as installed; the originals are in dialplan-examples/."""
