"""Questions about images, and what their answers say of a chip."""
