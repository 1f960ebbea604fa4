"""The tabs of the page, a file each: layout and events."""
