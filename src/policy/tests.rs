//! What the policy promises, on real networks.
