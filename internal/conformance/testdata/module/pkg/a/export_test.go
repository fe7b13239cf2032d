package a

// Exported is for the tests outside (ABC-004).
const Exported = 1
