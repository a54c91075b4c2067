"""Setting the program up and checking that it is: what `setup` and `doctor` do, without their words."""
