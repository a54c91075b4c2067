"""The life of a telephone call as pure decisions: what each hook means and what comes out. No I/O."""
