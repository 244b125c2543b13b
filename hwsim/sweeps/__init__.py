"""Many runs of one scenario: tasks, who carries them out, and which points of a space are worth it."""
