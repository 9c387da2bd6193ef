"""A campaign as configuration: who attacks whom, among which honest users, under which policy."""
