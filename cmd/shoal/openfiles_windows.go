package main

// maxIdle is how many connections a session keeps open.
func maxIdle() int { return manyHosts }
