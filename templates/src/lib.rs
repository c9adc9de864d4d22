//! ImageSpec to Dockerfile: templates, bases and compatibility tables.
