"""Pictures that are submitted: who may name which, how they are read and checked, and how the service gets them."""
