"""The commands of ``bitmixer``, a file each; each imports what it needs when it is called."""
