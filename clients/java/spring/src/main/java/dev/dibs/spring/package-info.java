/** Dibs as the cache of a Spring application. */
package dev.dibs.spring;
