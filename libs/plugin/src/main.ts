#!/usr/bin/env node
import { runHost } from './host.js';
import { loadPlugin } from './load-plugin.js';

runHost(loadPlugin);
