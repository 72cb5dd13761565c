package knownhosts

func learnMany(string) error { return nil }
