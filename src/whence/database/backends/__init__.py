"""One file a scheme: only what differs between database systems lives here."""
