// Package shoal does things on many hosts over SSH at once.
package shoal
