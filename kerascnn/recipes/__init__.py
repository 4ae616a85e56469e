"""How the papers trained: recipe, book, papers, losses."""
