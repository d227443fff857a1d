"""Submit once: the submitter, the record that it writes first, where records are stored, and the search for a lost answer."""
