"""New and changed rows on an open page: one poll of the tables a process, whatever the number of pages."""
