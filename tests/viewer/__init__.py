"""The browser's page: its logic, its types, its size; and the page itself in a real browser, before a real daemon."""
