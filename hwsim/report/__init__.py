"""What people see of a run: figures, tables in the terminal, the page."""
