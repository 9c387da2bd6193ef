"""What a campaign's tables say: detection, harvest, groups found, harm to honest users. Pure functions of the
tables."""
