"""Rules of the core: examples, illegal events, random histories against slow obvious models."""
