"""Doors for other systems' clients and files; each has a package of its own, imported only by who asks for it."""
