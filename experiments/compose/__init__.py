"""From a command line and YAML files to the resolved configurations of cells. Builds and runs nothing."""
