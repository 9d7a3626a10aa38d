/** Dibs as the cache of an application of Spring. */
package dev.dibs.spring;
