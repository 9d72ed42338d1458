"""The layouts that databases out there have, one file each; a released one never changes."""
