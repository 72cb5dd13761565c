//go:build race

package main

// many is how many hosts a test with many of them has; the race detector makes
// each about ten times as dear.
const many = 100
