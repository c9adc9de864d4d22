//! The hall: joins the rooms.
