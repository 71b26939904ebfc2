"""Models, one paper or one classical method per file; `genus.registry` finds them here."""
