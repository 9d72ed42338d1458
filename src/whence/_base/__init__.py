"""The ground: small things every room stands on, none of which knows a room."""
