"""What tools/bench is made of: how programs are run and measured, and how the results are shown."""
