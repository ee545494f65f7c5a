// Package doctor finds out why a browser hears nothing. It opens real streams to a public URL and, if it can, to the hub itself. It
// sends probes, leaves streams idle, drops and resumes them, and reports what stands in the way.
package doctor
