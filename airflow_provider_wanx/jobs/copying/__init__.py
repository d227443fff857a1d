"""Copy results: to which destination, under which key, in how many parts, and how the gallery finds them there."""
