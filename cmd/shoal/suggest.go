package main

import "github.com/shoal-ssh/shoal/internal/nearest"

// didYouMean returns what to add to a complaint about word: " (did you mean
// "known"?)" where one of the known words is near, else nothing.
func didYouMean(word string, known []string) string {
	best, ok := nearest.Word(word, known)
	if !ok {
		return ""
	}
	return ` (did you mean "` + best + `"?)`
}
