"""Work that the server does and keeps for a person: results, places, uploads, models."""
