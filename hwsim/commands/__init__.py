"""The commands of ``hwsim``, a file each; each imports what it needs when it is called."""
