"""How hits are shown: lines, tables, and a page of thumbnails."""
