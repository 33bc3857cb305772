package reset

// Handle returns what names a person to their authenticators and nobody else (Web Authentication Level 3 §14.6.1): their
// id, which says nothing of them and opens nothing.
func Handle(person string) []byte { return []byte(person) }
