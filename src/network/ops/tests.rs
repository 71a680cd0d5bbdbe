//! What the tests of all ops share.
