//go:build !race

package main

// many is how many hosts a test with many of them has.
const many = 1000
